"""What ci-envs costs over the bare tools, as ratios taken side by side."""
