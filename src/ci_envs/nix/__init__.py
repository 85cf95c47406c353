"""Environments that nix makes: shells, their closures, and images of these. Imported by nix legs alone."""
