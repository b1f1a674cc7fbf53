//! The extension module beltline._native: adapts a worker to Python.
