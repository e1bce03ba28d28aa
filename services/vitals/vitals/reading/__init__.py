"""What is read: who may, the latest value of each metric and how fresh it is, histories, and how good the data are."""
