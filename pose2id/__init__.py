"""Training-free gains for person re-identification: the method, free of any orchestration.

Arrays and images in, arrays and images out. Source: Pose2ID, "From Poses to Identity:
Training-Free Person Re-Identification via Feature Centralization" (CVPR 2025, arXiv 2503.00938).
"""
