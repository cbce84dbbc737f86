"""What a spore thinks about when nobody asks: records in, records out, tasks always first."""
