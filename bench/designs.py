"""Designs of the `photo` family to compare (studies.py --study designs and synthesis): each a [network] of a
configuration, its widths and one of the designs in train/families/photo_designs.py.

Blocks are compared at about equal multiply-adds; what changes the cost by its nature shows it in the table.
"""

SIZES = {
    "latent": 96,
    "hyper": 48,
    "encoder": 96,
    "encoder_low": 128,
    "encoder_blocks": 2,
    "encoder_low_blocks": 3,
    "body": 96,
    "spread": 32,
    "body_blocks": 2,
    "detail": 64,
    "detail_blocks": 3,
    "render": 16,
    "points": 4,
}

# name -> what its configuration changes
DESIGNS = {
    "as shipped, narrower": {},
    "blocks: depthwise 5x5": {"design": "wide-blocks"},
    "blocks: full 3x3 bottlenecks": {"design": "bottlenecks"},
    "blocks: depthwise first, one expansion": {"design": "next-blocks"},
    "blocks: GDN and its inverse": {"design": "gdn-blocks"},
    "blocks: GELU": {"design": "gelu-blocks"},
    "encoder: Haar transform of the patches": {"design": "haar"},
    "encoder: squeeze and excitation": {"design": "gated"},
    "encoder: global context attention": {"design": "attentive"},
    "synthesis: all blocks at 1/16": {"body_blocks": 7, "detail_blocks": 0},
    "synthesis: all blocks at 1/8": {"body_blocks": 0, "detail_blocks": 4},
    "one step of refinement": {"design": "one-step"},
    "no refinement of the mean": {"design": "no-refinement"},
    "no predicted step": {"design": "fixed-step"},
    "no rate inside the blocks": {"design": "untoned-blocks"},
    "learned scales of convolutions": {"design": "scaled"},
}

# Decoders of about equal cost for one trained encoder.
SYNTHESES = {
    "as shipped": {},
    "blocks: depthwise 5x5": {"design": "wide-synthesis"},
    "blocks: full 3x3 bottlenecks": {"design": "bottleneck-synthesis"},
    "blocks: depthwise first, one expansion": {"design": "next-synthesis"},
    "blocks: inverse GDN": {"design": "gdn-synthesis"},
    "blocks: GELU": {"design": "gelu-synthesis"},
    "all blocks at 1/16": {"body_blocks": 9, "detail_blocks": 0},
    "all blocks at 1/8": {"body_blocks": 0, "detail_blocks": 5},
}
