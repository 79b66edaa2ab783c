"""Small networks of the source paper's families."""

SMALL = {"filters": 12, "latent": 10, "hyper": 4, "hidden": 6, "points": 2}
CASES = {
    "factorized": {"components": 0, "attention": False, "hyper": 1},
    "hyperprior": {"components": 0, "attention": False},
    "gdn-mixture": {"components": 3, "attention": True},
}
