"""Generation: the engines, and the decoder and cache of the native one."""
