"""Containers: engines, images and what is in them. Flat modules; only legs that need a container import them."""
