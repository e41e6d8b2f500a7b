"""Simulators of hypervisors that speak the real wire protocols, one package or module a driver."""
