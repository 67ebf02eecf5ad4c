"""Engine specs (`engines/*.yaml`) and the Triton model repositories made from them. Starts nothing."""
