"""The report of a run or a study: one page of HTML or Markdown, from its files alone; never imports torch."""
