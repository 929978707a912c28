"""Instances in Eureka's words: one document in two spellings, JSON and XML, read leniently."""
