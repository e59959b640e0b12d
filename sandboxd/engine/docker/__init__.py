"""Docker, through aiodocker, and Podman behind the same API: only here are their words."""
