"""The job as Beam transforms, and its last step."""
