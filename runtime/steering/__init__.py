"""Steering: sessions around sessions that decide what the network does with a frame."""
