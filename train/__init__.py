"""Training of pillow_lic models. Not needed to decode; the package never imports this folder."""
