"""Training of the networks that inpaint ships. PyTorch is imported here and nowhere else."""
