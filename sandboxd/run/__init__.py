"""One run: lease a container, hand the program over, pump its output, judge its end."""
