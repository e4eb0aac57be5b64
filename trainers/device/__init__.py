"""Arrays to batches: splits on the device, streaming, augmentation, CUDA graphs."""
