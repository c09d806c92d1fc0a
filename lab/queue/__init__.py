"""Plans and devices for bluesky-queueserver: `startup` is loaded by its worker, `plans` says what plans take."""
