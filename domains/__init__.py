"""The domains that ship with the zoo; each registers itself under the entry points `zoo.domains`."""
