"""A double of the EBRAINS neuromorphic job queue (NMPI, version 3) on the loopback.

It is not the NMPI, and no SpiNNaker stands behind it: its provider runs jobs in an image on this
machine. It speaks the calls that the client `nmpi` 0.11.2 and a provider make, checked key by key
against recorded replies of the real service (docs/nmpi.md).
"""

from imagefactory.sandbox.nmpi.provider import EMULATED, VIRTUAL, Provider
from imagefactory.sandbox.nmpi.start import Nmpi, start_nmpi
from imagefactory.sandbox.nmpi.starting import start_in_image

__all__ = ["EMULATED", "VIRTUAL", "Nmpi", "Provider", "start_in_image", "start_nmpi"]
