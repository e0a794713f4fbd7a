"""What is tried in memory on present features: tuning, ablation; and the trainings."""
