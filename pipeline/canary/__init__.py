"""The node's check of itself: the sample study through the whole running path, its contours against expected ones."""
