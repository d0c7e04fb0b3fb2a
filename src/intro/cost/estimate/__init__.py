"""What a config would cost, before anything is spent: `intro plan`."""
