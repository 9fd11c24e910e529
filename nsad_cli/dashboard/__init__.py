"""The dashboard: reads run folders and stores while others write them; never imports torch."""
