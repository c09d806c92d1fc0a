"""Lets any PyVISA program say ResourceManager("@twin")."""

from sim_devices import visa

WRAPPER_CLASS = visa.TwinVisaLibrary
