"""Steps of a DAG that do something in Chatwork."""
