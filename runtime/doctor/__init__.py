"""Doctor: what this machine has, what it lacks, and the command that puts it right."""
