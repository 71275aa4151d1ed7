-- What a number should be like at Meta, and what Meta reports.
SELECT;
