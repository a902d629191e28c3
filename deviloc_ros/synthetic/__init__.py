"""Make our own worlds: textured scenes, the renderer that looks at them, and what a real camera does to the picture.

A scene is made of textured rectangles, so the depth of every pixel is known exactly. Nothing here needs ROS.
"""
