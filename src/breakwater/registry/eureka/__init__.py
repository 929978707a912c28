"""Eureka's REST protocol over the registry, with answers encoded once per change."""
