"""Trainers that speak perpend's harness protocol, version 1: in NumPy, PyTorch and JAX.

``perpend check --trainer 'python -m perpend_harness numpy'`` puts one through the theorem suite. See the README.
"""
