"""Define the Point Inference Network as published (DeViLoc, CVPR 2024), its keys those of the released file.

Two towers: landmarks attend to each other, keypoints attend to landmarks. Keypoints never change landmarks, so the
landmarks' tower is computed once per reference view, when a map is built.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deviloc_ros.upstream.precision import compute_in_float32

FEATURE_SIZE, POINT_SIZE, MODEL_SIZE, HEADS, ROUNDS = 128, 128, 256, 4, 3
INITIAL_SCALE = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkTower:
    """Hold what keypoints attend to, one layer after the other.

    near, span: (1, 1, 1) smallest depth [m] of the landmarks and its distance to the largest. points: (1, M, 128).
    states: (3, M, 256).
    """

    near: Tensor
    span: Tensor
    points: Tensor
    states: Tensor


class Mlp(nn.Module):
    """Apply two linear layers with a GELU between."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.out = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


class AttentionLayer(nn.Module):
    """Apply pre-normalized attention and MLP, each scaled by learned factors; one norm serves both sides."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.q_layer = nn.Linear(size, size, bias=False)
        self.kv_layer = nn.Linear(size, 2 * size, bias=False)
        self.proj = nn.Linear(size, size)
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.gamma1, self.gamma2 = nn.Parameter(torch.ones(size)), nn.Parameter(torch.ones(size))
        self.mlp = Mlp(size, 2 * size, size)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Let (B, N, C) attend to (B, M, C)."""
        queries = split_heads(self.q_layer(self.norm1(x)))
        keys, values = (split_heads(part) for part in self.kv_layer(self.norm1(source)).chunk(2, 2))
        attended = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        x = x + self.gamma1 * self.proj(attended)
        return x + self.gamma2 * self.mlp(self.norm2(x))


def split_heads(x: Tensor) -> Tensor:
    """Reshape (B, N, C) to (B, H, N, C / H)."""
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)


class UpstreamPin(nn.Module):
    """Infer the depth of keypoints along their rays and its confidence, from the landmarks of their view."""

    def __init__(self) -> None:
        super().__init__()
        self.pts2d_scale = nn.Parameter(torch.full((1, 1, 2), INITIAL_SCALE))
        self.pts2d_emb = Mlp(2, POINT_SIZE, POINT_SIZE)
        self.depth_scale = nn.Parameter(torch.full((1, 1, 1), INITIAL_SCALE))
        self.depth_emb = Mlp(1, POINT_SIZE, POINT_SIZE)
        self.pts3d_emb = nn.Linear(2 * POINT_SIZE, POINT_SIZE, bias=False)
        self.depth_enc = AttentionLayer(POINT_SIZE)
        self.propa_layers = nn.ModuleList([AttentionLayer(POINT_SIZE)])
        self.merge2d_layers = Mlp(FEATURE_SIZE + POINT_SIZE, MODEL_SIZE, MODEL_SIZE)
        self.merge3d_layers = Mlp(FEATURE_SIZE + POINT_SIZE, MODEL_SIZE, MODEL_SIZE)
        self.infer_layers = nn.ModuleList(AttentionLayer(MODEL_SIZE) for _ in range(2 * ROUNDS))
        self.out_coords = nn.Sequential(
            Mlp(MODEL_SIZE, MODEL_SIZE, MODEL_SIZE), nn.LayerNorm(MODEL_SIZE), Mlp(MODEL_SIZE, MODEL_SIZE, 1)
        )
        self.out_conf = nn.Sequential(
            Mlp(MODEL_SIZE + 1, 2 * MODEL_SIZE, MODEL_SIZE), nn.LayerNorm(MODEL_SIZE), Mlp(MODEL_SIZE, MODEL_SIZE, 1)
        )

    def describe_landmarks(self, landmarks_in_cam: Tensor, features: Tensor) -> LandmarkTower:
        """Embed one view's (1, M, 3) landmarks [m] with (1, M, 128) features of the image there."""
        depths = landmarks_in_cam[..., 2:]
        near = depths.amin(1, keepdim=True)
        span = depths.amax(1, keepdim=True) - near + 1e-8
        # Coordinates and depths are rounded nowhere: 0.4 % of them would be pixels and centimetres.
        places = compute_in_float32(self.pts2d_emb, landmarks_in_cam[..., :2] / (depths + 1e-8) * self.pts2d_scale)
        embedded = compute_in_float32(self.depth_emb, (depths - near) / span * self.depth_scale)
        points = self.pts3d_emb(torch.cat([places, self.depth_enc(embedded, embedded)], 2))
        state = self.merge3d_layers(torch.cat([points, features], 2))
        states = []
        for layer in self.infer_layers[::2]:
            state = layer(state, state)
            states.append(state)
        return LandmarkTower(near, span, points, torch.cat(states))

    def lift_keypoints(self, tower: LandmarkTower, rays: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return depths [m] and confidence, (1, N) each.

        Args:
            tower: of the view the keypoints are in.
            rays: (1, N, 3) undistorted, z = 1.
            features: (1, N, 128) of the image at the keypoints.
        """
        state = compute_in_float32(self.pts2d_emb, rays[..., :2] * self.pts2d_scale)
        for layer in self.propa_layers:
            state = layer(state, tower.points)
        state = self.merge2d_layers(torch.cat([state, features], 2))
        for layer, landmarks in zip(self.infer_layers[1::2], tower.states, strict=True):
            state = layer(state, landmarks[None])
        depths = compute_in_float32(self.out_coords, state) * tower.span + tower.near
        logits = compute_in_float32(self.out_conf, torch.cat([state, depths.detach() / tower.span], 2))
        return depths[..., 0], torch.sigmoid(logits[..., 0])
