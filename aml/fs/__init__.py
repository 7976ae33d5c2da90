"""Every call to the operating system about files: durable writes, locks, walks, kinds of file systems."""
