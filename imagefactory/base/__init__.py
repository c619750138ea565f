"""What every room stands on: errors, values, files, settings, the doors to programs and HTTP.

The one room whose modules are imported by name; it knows no other room.
"""
