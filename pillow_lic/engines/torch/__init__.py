"""The PyTorch engine: every model, on the CPU and on CUDA. All that imports torch or cupy is in this folder.

engine.py is what the codec sees; place.py a device; networks.py loads; latents.py, quantise.py, search.py and
scale_map.py are the steps; cuda/ launches kernels. Imports torch, numpy, models, container, entropy and ground.
"""
