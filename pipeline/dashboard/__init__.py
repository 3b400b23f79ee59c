"""What people look at: the slices and contours that the dashboard shows, and the OHIF viewer of the demo."""
