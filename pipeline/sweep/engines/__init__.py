"""What executes jobs: worker processes of this machine."""
