"""Lets any PyVISA program say ResourceManager("@twin")."""

from sim_devices.visa import TwinVisaLibrary as WRAPPER_CLASS

__all__ = ["WRAPPER_CLASS"]
