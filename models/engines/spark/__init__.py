"""Spark as the trainer, for tables that one machine cannot hold.

::

    any path that Spark reads
      -> rows          executors parse and judge every row               (table)
      -> interactions  duplicates merged, thresholds applied             (table)
      -> entries       ids replaced by row numbers, in row order         (numbered)
      -> ALS           item factors                                      (fit)
      -> users         our own closing sweep, a block of users at a time (fit)

What is too large for one machine's memory passes through Parquet files in a work directory that the driver
and all executors see, and is memory-mapped by the driver: histories and user factors. What the driver does
hold is bounded by the ids and the items: the id maps, the item factors, a few numbers for every user.

Only this package imports pyspark.
"""
