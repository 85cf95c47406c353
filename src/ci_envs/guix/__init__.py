"""Pattern ``guix``: a profile of guix's, made of channels at fixed commits. Written by its manual."""
