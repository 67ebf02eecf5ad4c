"""Everything that is drawn before anything runs: points, order, lengths, prompts. Pure but for two loaders."""
