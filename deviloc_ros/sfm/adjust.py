"""Adjust poses and landmarks of a model (bundle adjustment) with fixed cameras."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pycolmap
from numpy.typing import NDArray

from deviloc_ros.geometry import covariance_in_world, skew

SOLVED = 1e-5  # an adjustment is done when a step lowers its cost by a smaller share


def adjust_bundle(
    model: pycolmap.Reconstruction, loss_scale_px: float, fixed: Collection[str] = ()
) -> pycolmap.CeresBundleAdjuster:
    """Adjust the poses of a model's images, except fixed ones, and its points, in place; return the problem.

    Args:
        loss_scale_px: scale of the Cauchy loss.
        fixed: names of images whose poses stay and define the frame; without any, COLMAP chooses two cameras for that.
    """
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = options.refine_principal_point = options.refine_extra_params = False
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = loss_scale_px
    options.ceres.solver_options.function_tolerance = SOLVED
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
        image = model.images[image_id]
        if image.name in fixed:
            config.set_constant_rig_from_world_pose(image.frame_id)
    if not fixed:
        config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
    adjuster.solve()
    model.update_point_3d_errors()
    return adjuster


def pose_covariances(model: pycolmap.Reconstruction, adjuster: pycolmap.CeresBundleAdjuster) -> dict[str, NDArray]:
    """Return the (6, 6) covariances of adjusted poses by image name, as in `Localized`.

    They assume independent residuals of 1 px. Fixed and undetermined poses are left out.
    """
    options = pycolmap.BACovarianceOptions()
    options.params = pycolmap.BACovarianceOptionsParams.POSES
    computed = pycolmap.estimate_ba_covariance(options, model, adjuster)
    if computed is None:
        return {}
    covariances = {}
    for image in model.images.values():
        of_tangent = computed.get_cam_cov_from_world(image.image_id)
        if of_tangent is not None:
            motion = motion_from_tangent(image.cam_from_world())
            in_world = covariance_in_world(image.cam_from_world(), motion @ of_tangent @ motion.T)
            covariances[image.name] = in_world
    return covariances


def motion_from_tangent(cam_from_world: pycolmap.Rigid3d) -> NDArray:
    """Return the (6, 6) Jacobian of the motion of `geometry.perturb_pose` [m], [rad] by COLMAP's parameters of a pose.

    These are half the rotation vector that is applied to cam_from_world from the left (Ceres' EigenQuaternionManifold),
    and an increment of its translation.
    """
    jacobian = np.zeros((6, 6))
    jacobian[:3, :3] = 2 * skew(cam_from_world.translation)
    jacobian[:3, 3:] = np.eye(3)
    jacobian[3:, :3] = 2 * np.eye(3)
    return jacobian
