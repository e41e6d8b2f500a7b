"""sim://: an in-memory hypervisor with a scripted or seeded life."""
