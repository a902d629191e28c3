"""Visual localization in a map made earlier, after DeViLoc (Giang, Song, Jo, CVPR 2024).

    image + Camera -> Features -> Matches (2D-2D, per reference) -> Correspondences (2D-3D, confidence)
                   -> merged Correspondences -> Localized | Lost(reason)

    from deviloc_ros.localizer import Localizer
    from deviloc_ros.maps.store import Map

    localizer = Localizer(Map.open("kitchen.map"))
    result = localizer.localize(image, camera)

Every reference keypoint is lifted to 3D when the map is built, so a query costs one feature pass, one match against
the nearby references, one merge (CPA) and one PnP. Importing the package itself imports nothing heavy.
"""

__version__ = "0.1.0"
