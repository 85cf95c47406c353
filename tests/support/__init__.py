"""What tests of real tools stand on: packages, an index that can misbehave, projects."""
