"""Steps of a DAG that wait for somebody in Chatwork."""
