"""The parts of the report: questions to the tables, plots, pictures, pages and the dataset card."""
