"""The backup repository: content-addressed chunks in packs, and one manifest for each backup."""
