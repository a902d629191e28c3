"""Make the tables and pictures of docs/, and run the benchmarks behind them; not installed."""
