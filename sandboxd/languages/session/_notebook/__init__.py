"""Python's driver of sessions. It lies in the image, where it is compiled already."""
